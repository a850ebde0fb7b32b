"""What is to be shown, as data: each view is a function of the guide; ``guide.site.render`` turns it into text."""
