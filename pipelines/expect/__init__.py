"""What a batch must satisfy: a profile of every submission, the suites that judge it, and the pages that show it."""
