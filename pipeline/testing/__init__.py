"""For tests of agents and of Offhook itself: shipped, and documented where they stand."""
