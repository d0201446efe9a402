"""What receiving and sending share: protection of the connection."""
