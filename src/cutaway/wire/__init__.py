"""Between a trace and bytes: the structures that travel, sites as safetensors, answers as JSON. Knows no engine and
no server, so that the page, a notebook and a test read the same things by the same names."""
