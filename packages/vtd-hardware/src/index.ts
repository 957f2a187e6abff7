export { capabilitiesOf, DEFAULT_CAPABILITIES, type VtdCapabilities } from './capabilities.js';
export { switches, withSettings } from './switches.js';
