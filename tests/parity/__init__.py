"""What turns our outputs into the official names, one module a system."""
