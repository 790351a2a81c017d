"""Several devices and several machines that share the work of one run."""
