"""The attacks start from the same good submissions as the tests of submissions."""

from tests.submissions.conftest import dataset, pairs, run_folder, samples  # noqa: F401
