"""Key maps of officially released checkpoints: own name -> their name, as data."""
