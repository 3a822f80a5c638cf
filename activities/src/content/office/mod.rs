//! What the three Office formats share: a zip archive of XML parts that refer to each other by relationships
//! (ECMA-376 part 2, "Open Packaging Conventions").
//!
//! Start at [`archive::Archive`], which bounds everything that is unpacked; [`xml_tree`] bounds what is parsed;
//! [`relationships`] finds one part from another.

pub(super) mod archive;
pub(super) mod relationships;
pub(super) mod xml_tree;
