//! Lengths and counts of a crate's files. Test code is left out, except from the lines of a file.

use std::path::PathBuf;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Block, ImplItem, Item, Signature, TraitItem};

use crate::tree::{Tree, attributes_of, is_test};

/// A function and what is counted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its file.
    pub path: PathBuf,
    /// The line of its name, from 1.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// From its signature to its closing brace.
    pub num_lines: usize,
    /// Without `self`.
    pub num_parameters: usize,
}

/// What is counted in a crate.
#[derive(Debug, Default)]
pub struct Measures {
    /// Its functions, trait methods included.
    pub functions: Vec<Function>,
    /// Its files with their numbers of lines.
    pub files: Vec<(PathBuf, usize)>,
    /// Calls of `unwrap`, and the macros that panic; constants aside, which are computed by the compiler.
    pub num_unwraps: usize,
    /// Calls of `expect`, each of which states its reason.
    pub num_expects: usize,
    /// Calls of `get` with one argument.
    pub num_gets: usize,
    /// Calls of `unwrap_or_default`.
    pub num_defaults: usize,
    /// `let … else { continue }`.
    pub num_skips: usize,
}

/// Measures a crate.
pub fn measure(tree: &Tree) -> Measures {
    let mut measures = Measures::default();
    for module in &tree.modules {
        measures.files.push((module.path.clone(), module.text.lines().count()));
        let mut visitor = Visitor { path: &module.path, measures: &mut measures };
        for item in &module.items {
            visitor.visit_item(item);
        }
    }
    measures
}

struct Visitor<'m> {
    path: &'m PathBuf,
    measures: &'m mut Measures,
}

impl Visitor<'_> {
    fn count(&mut self, signature: &Signature, body: Option<&Block>) {
        let is_value = |input: &&syn::FnArg| matches!(input, syn::FnArg::Typed(_));
        let start = line(signature.span());
        let end = body.map_or(start, |body| body.brace_token.span.close().end().line);
        self.measures.functions.push(Function {
            path: self.path.clone(),
            line: line(signature.ident.span()),
            name: signature.ident.to_string(),
            num_lines: end + 1 - start,
            num_parameters: signature.inputs.iter().filter(is_value).count(),
        });
    }
}

fn line(span: Span) -> usize {
    span.start().line
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes_of(item)) {
            visit::visit_item(self, item);
        }
    }

    // A constant that cannot be computed does not compile.
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}

    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.count(&function.sig, Some(&function.block));
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if let ImplItem::Fn(function) = item {
            if is_test(&function.attrs) {
                return;
            }
            self.count(&function.sig, Some(&function.block));
        }
        visit::visit_impl_item(self, item);
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if let TraitItem::Fn(function) = item {
            self.count(&function.sig, function.default.as_ref());
        }
        visit::visit_trait_item(self, item);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        match call.method.to_string().as_str() {
            "unwrap" if call.args.is_empty() => self.measures.num_unwraps += 1,
            "expect" if call.args.len() == 1 => self.measures.num_expects += 1,
            "get" if call.args.len() == 1 => self.measures.num_gets += 1,
            "unwrap_or_default" => self.measures.num_defaults += 1,
            _ => {}
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if ["panic", "todo", "unimplemented"].iter().any(|name| call.path.is_ident(name)) {
            self.measures.num_unwraps += 1;
        }
        visit::visit_macro(self, call);
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if let Some((_, otherwise)) = local.init.as_ref().and_then(|init| init.diverge.as_ref())
            && let syn::Expr::Block(block) = &**otherwise
            && matches!(block.block.stmts.as_slice(), [syn::Stmt::Expr(syn::Expr::Continue(_), _)])
        {
            self.measures.num_skips += 1;
        }
        visit::visit_local(self, local);
    }
}
