import { library } from '../../tsup.base.js';

/** This package runs on Node alone: it starts processes. */
export default library({ platform: 'node' });
