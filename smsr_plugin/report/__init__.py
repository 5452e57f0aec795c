"""One HTML page that shows what SMSR computed for an image, what it saved and what it cost.

`cases` reads the images, `measurements` runs the network and gathers numbers and arrays,
`figures` turns them into charts and pictures, `page` into HTML that needs nothing but itself.
"""
