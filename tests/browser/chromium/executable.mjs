// Unpacks Chromium and the libraries that come with it into TMPDIR, and prints where the program is.
import process from 'node:process'
import chromium from '@sparticuz/chromium'

process.stdout.write(await chromium.executablePath())
