import { library } from '../../tsup.base.js';

/** The command runs on Node alone, and finds its scenario files beside itself in either format. */
export default library({ platform: 'node', shims: true });
