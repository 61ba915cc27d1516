"""An installed app."""
