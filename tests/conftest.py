from hypothesis import settings

# No deadline: the first call of a kernel compiles it.
settings.register_profile("skquant", deadline=None, max_examples=40)
settings.load_profile("skquant")
