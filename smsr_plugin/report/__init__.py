"""HTML pages that need nothing but themselves: what was computed for images, how a training went.

`lq_images` reads the images, `measurements` runs the network and gathers numbers and arrays,
`page` embeds the arrays as pictures and says what holds for all images, and `rendering` makes HTML
of it all by `templates/`, which draw the numbers by `charts`.
"""
