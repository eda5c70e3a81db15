"""What a training function talks to: reports, the recorder, event files, shared data."""
