declare module "virtual:places" {
  const url: string;
  export default url;
}

/** Files that the package brings as modules: `client/pack_map.js` writes them. */
declare module "text:*" {
  const text: string;
  export default text;
}
