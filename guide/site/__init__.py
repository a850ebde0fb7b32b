"""The site: ``stage`` writes a complete folder of pages, notebooks and data, which MkDocs renders.

Views say in data what is to be shown; ``templates/`` holds every tag.
"""
