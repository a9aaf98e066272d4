"""A leaderboard as a Git repository: pull requests in, results and pages out; and the same suite for Codabench."""
