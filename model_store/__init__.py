"""The models: their definitions, and the versions built from them.

`manifest` says what a version directory holds, `publish` puts one there, and each folder is one model.
Built versions, `<model>/<integer>/`, are not committed; `serving.export` builds them.
"""
