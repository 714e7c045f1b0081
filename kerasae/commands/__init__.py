"""What the commands do, once Keras is there: one file a kind of work."""
