"""The workbench of an RTL core: what ``chaindp core check``, ``synth`` and ``impact`` do with a ``core.toml``.

check:   is it right, also under back-pressure, reset and random initial values, and how many cycles does it take
synth:   how much area it takes and which clock it reaches after routing
impact:  what the whole chain gains by it
"""
