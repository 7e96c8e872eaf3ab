"""What the commands share: flags, overrides of a config, exit statuses, a conversation."""
