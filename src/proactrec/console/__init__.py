"""The web console: campaigns made, watched, understood and stopped, through the client alone."""
