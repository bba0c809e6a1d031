"""Run exported models in the runtimes of their formats, and check such a file, which may be untrusted, before."""
