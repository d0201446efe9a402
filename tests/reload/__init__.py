"""Hot reload: files that change, break, vanish and come back."""
