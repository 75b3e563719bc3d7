import { defineConfig } from 'vite'
import { readdirSync } from 'node:fs'

const pages = readdirSync(import.meta.dirname, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.name === 'index.html' && !/node_modules|dist/.test(entry.parentPath))
  .map((entry) => `${entry.parentPath}/${entry.name}`)

// The pages find cowrite at their own address: what is not a page goes on to it.
const cowrite = process.env.COWRITE_URL ?? 'http://127.0.0.1:8000'
const proxy = { '^/(api|yjs|hocuspocus)(/|$|\\?)': { target: cowrite, ws: true } }

export default defineConfig({
  resolve: { alias: { '@cowrite/client': `${import.meta.dirname}/../clients/js/src/index.ts` }, dedupe: ['yjs', 'y-protocols'] },
  server: { proxy },
  preview: { proxy },
  // Django's pages are made by Django: it finds the script in the manifest.
  build: { rolldownOptions: { input: [...pages, 'django/main.js'] }, manifest: true, chunkSizeWarningLimit: 5000 },
})
