"""What a person types: verbs, options, answers, exit codes."""
