"""What was recorded: events, the journal file, the sample files, the undo records."""
