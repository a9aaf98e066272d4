"""Submissions from outside: packed, checked, scored and queued."""
