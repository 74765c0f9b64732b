"""Who talks: agents, their tools, what has been said."""
