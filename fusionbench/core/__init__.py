"""What every other room may use: errors, files, names, images, progress, parallel work."""
