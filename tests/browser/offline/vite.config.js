// Built with the vite of the demo page; COWRITE_CLIENT is the client's entry among its sources.
import process from 'node:process'

export default {
  base: './',
  resolve: {
    alias: { '@cowrite/client': process.env.COWRITE_CLIENT },
    dedupe: ['yjs', 'y-protocols', 'lib0'],
  },
  build: { target: 'es2022', modulePreload: { polyfill: false } },
}
