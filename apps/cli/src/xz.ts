import { createRequire } from 'node:module';

/** The package is a UMD module, whose names an ES module cannot import. */
const require = createRequire(import.meta.url);
const { XzReadableStream } = require('xz-decompress') as typeof import('xz-decompress');

export { XzReadableStream };
