"""Coverage-guided fuzzing of every decoder; see README.md. Only `engine` needs atheris."""
