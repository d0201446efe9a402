"""The smallest configuration with which Dovecot 2.3 runs privately, as any one account."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Mapping
from pathlib import Path

# Why the unusual lines: chroots and several accounts need root. Without the anvil line every failed login
# would slow the next ones from this address. The limits let a benchmark hold thousands of connections.
# Idle sessions beyond the kernel's inotify limit poll, by default only every 30 s.
_CONFIGURATION = """
base_dir = {d}/run
state_dir = {d}/run
log_path = {d}/dovecot.log
protocols = imap pop3 lmtp
listen = 127.0.0.1
mail_location = maildir:~/Maildir
mail_uid = {user}
mail_gid = {group}
first_valid_uid = 1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
ssl = yes
ssl_cert = <{d}/server.crt
ssl_key = <{d}/server.key
auth_mechanisms = plain login
auth_verbose = yes
auth_failure_delay = 0
default_vsz_limit = 4G
mail_max_userip_connections = 20000
mailbox_idle_check_interval = 2s
lda_mailbox_autocreate = yes
service imap-login {{
  chroot =
  service_count = 0
  client_limit = 12000
  process_limit = 2
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  chroot =
  service_count = 0
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
service imap {{
  process_limit = 12000
}}
service anvil {{
  chroot =
  client_limit = 20000
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  client_limit = 20000
}}
service stats {{
  chroot =
}}
passdb {{
  driver = static
  mechanisms = plain login
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={d}/mail/%u allow_all_users=yes
}}
"""


def configuration(directory: Path, account: pwd.struct_passwd, ports: Mapping[str, int], password: str) -> str:
    """The text of `dovecot.conf`; `server.crt` and `server.key` lie in `directory`."""
    group = grp.getgrgid(account.pw_gid).gr_name
    return _CONFIGURATION.format(d=directory, user=account.pw_name, group=group, password=password, **ports)
