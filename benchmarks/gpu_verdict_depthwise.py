depthwise = speed = determinism = memory = input_wait = devices = None
