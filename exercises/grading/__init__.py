"""What graders use: the learner's attempt, and data, servers and programs that exist only during a check."""
