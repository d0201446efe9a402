"""What an administrator's script may do and see: the policy, the guards, and the objects of onEMail."""
