"""Python imports this at its start, as `conftest` has it: processes start here as they do in the tests."""

import multiprocessing
import os

if method := os.environ.get('SEGLIGHT_TEST_START_METHOD'):
    multiprocessing.set_start_method(method, force=True)
