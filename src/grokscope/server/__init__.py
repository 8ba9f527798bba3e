"""The live page: a store of runs in the browser, read only. ``app.py`` answers, ``listen.py`` opens the port."""
