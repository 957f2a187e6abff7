import { mergeConfig } from 'vitest/config';
import base from '../vitest.base.js';

/** The tests of the tools themselves; their report counts like a package's. */
export default mergeConfig(base, { test: { include: ['*.test.ts'] } });
