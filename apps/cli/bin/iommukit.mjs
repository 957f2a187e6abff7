#!/usr/bin/env node
// Committed, so that npm can link the command before anything is built.
import { main } from '../dist/index.js';

// A reader that has seen enough (`iommukit run … | head`) is no failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error) => process.exit(error.code === 'EPIPE' ? 0 : 1));
}
process.exitCode = await main(process.argv.slice(2));
