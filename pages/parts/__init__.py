"""What the pages share: chrome, state, caches, pickers, and the way a picture is shown."""
