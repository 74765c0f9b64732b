"""What hears, thinks and speaks: the registry, and one file per vendor and kind."""
