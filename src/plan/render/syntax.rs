//! What templates may say: variables that exist, the filters of [`super::filters`], comparisons, `if` and `for`.
//!
//! The check runs on the syntax tree before anything is compiled. It names an unknown variable with its line in every
//! branch, taken or not, which the engine's own strict mode cannot; and it leaves out everything that makes text grow
//! (`*`, `~`, `set`, blocks that capture), because fuel counts steps and not memory: thirty doublings fill a machine.
//! Before that the tokens are counted: the engine walks long expressions by recursion, and would overflow the stack.

use minijinja::machinery::ast::{BinOp, BinOpKind, CallArg, Expr, ForLoop, Spanned, Stmt};
use minijinja::machinery::{Span, Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::context::BOOLEANS;
use super::failure;
use super::filters::{FILTERS, TESTS};
use super::problem::{Problem, Text};

/// How alike a name and an unknown one must be to be offered, by Jaro and Winkler, from 0 to 1.
const ALIKE: f64 = 0.85;

/// Most words and signs between one `{{` and its `}}`, or `{%` and `%}`. Each can nest the expression one deeper.
const TAG_LIMIT: usize = 200;
/// Most `elif` in one template. Each nests the template one deeper; other statements the parser counts itself.
const ELIF_LIMIT: usize = 50;

/// Everything in `source` that a template may not say; empty if it can be compiled.
pub(super) fn check(
    text: Text,
    source: &str,
    config: SyntaxConfig,
    variables: &[&str],
) -> Vec<Problem> {
    let template = within_depth(text, source, config.clone())
        .and_then(|()| parse(source, text.as_str(), config).map_err(|error| failure(text, &error)));
    match template {
        Ok(template) => {
            let mut check = Check {
                text,
                variables,
                scope: Vec::new(),
                problems: Vec::new(),
            };
            check.statement(&template);
            check.problems
        }
        Err(problem) => vec![problem],
    }
}

/// Refuses what would nest so deep that a walk over the syntax tree overflows the stack.
fn within_depth(text: Text, source: &str, config: SyntaxConfig) -> Result<(), Problem> {
    let mut in_tag = 0;
    let mut elifs = 0;
    for token in tokenize(source, false, config) {
        let (token, span) = token.map_err(|error| failure(text, &error))?;
        let line = usize::from(span.start_line);
        match token {
            Token::VariableStart | Token::BlockStart => in_tag = 0,
            Token::Ident("elif") => elifs += 1,
            _ => {}
        }
        in_tag += 1;
        if in_tag > TAG_LIMIT {
            let detail =
                format!("an expression of more than {TAG_LIMIT} words and signs; split it");
            return Err(Problem::template(text, line, &detail));
        }
        if elifs > ELIF_LIMIT {
            let detail = format!("more than {ELIF_LIMIT} elif in one template; use fewer");
            return Err(Problem::template(text, line, &detail));
        }
    }
    Ok(())
}

struct Check<'a> {
    text: Text,
    variables: &'a [&'a str],
    /// Names bound by the loops around the place that is looked at.
    scope: Vec<&'a str>,
    problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    fn report(&mut self, span: Span, detail: &str) {
        let line = usize::from(span.start_line);
        self.problems
            .push(Problem::template(self.text, line, detail));
    }

    fn refuse(&mut self, span: Span, what: &str) {
        self.report(
            span,
            &format!("{what} cannot be used here; templates offer variables, filters, comparisons, if and for"),
        );
    }

    fn statements(&mut self, statements: &'a [Stmt<'a>]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &'a Stmt<'a>) {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitRaw(_) => {}
            Stmt::EmitExpr(emit) => self.expression(&emit.expr),
            Stmt::IfCond(branch) => {
                self.condition(&branch.expr);
                self.statements(&branch.true_body);
                self.statements(&branch.false_body);
            }
            Stmt::ForLoop(each) => self.each(each),
            Stmt::WithBlock(other) => self.refuse(other.span(), "with"),
            Stmt::Set(other) => self.refuse(other.span(), "set"),
            Stmt::SetBlock(other) => self.refuse(other.span(), "set"),
            Stmt::AutoEscape(other) => self.refuse(other.span(), "autoescape"),
            Stmt::FilterBlock(other) => self.refuse(other.span(), "a filter block"),
            Stmt::Do(other) => self.refuse(other.span(), "do"),
        }
    }

    fn each(&mut self, each: &'a Spanned<ForLoop<'a>>) {
        self.expression(&each.iter);
        if each.recursive {
            self.refuse(each.span(), "a recursive loop");
        }
        let Expr::Var(target) = &each.target else {
            self.refuse(each.target.span(), "a loop over more than one variable");
            return;
        };
        let outer = self.scope.len();
        self.scope.extend([target.id, "loop"]);
        if let Some(filter) = &each.filter_expr {
            self.condition(filter);
        }
        self.statements(&each.body);
        self.scope.truncate(outer);
        self.statements(&each.else_body);
    }

    /// A truth value. A variable with the text `false` is not false, so that a bare one is always a mistake.
    fn condition(&mut self, expression: &'a Expr<'a>) {
        match expression {
            Expr::Var(var) if BOOLEANS.contains(&var.id) && !self.scope.contains(&var.id) => {
                let name = var.id;
                self.report(
                    var.span(),
                    &format!(r#"variable "{name}" holds the text "true" or "false"; write {name} == "true""#),
                );
            }
            Expr::UnaryOp(unary) => self.condition(&unary.expr),
            Expr::BinOp(binary) if matches!(binary.op, BinOpKind::ScAnd | BinOpKind::ScOr) => {
                self.condition(&binary.left);
                self.condition(&binary.right);
            }
            other => self.expression(other),
        }
    }

    fn expression(&mut self, expression: &'a Expr<'a>) {
        match expression {
            Expr::Const(_) => {}
            Expr::Var(var) => self.variable(var.id, var.span()),
            Expr::UnaryOp(unary) => self.condition(&unary.expr),
            Expr::BinOp(binary) => self.binary(binary),
            Expr::Compare(compare) => {
                self.expression(&compare.expr);
                let mut left = &compare.expr;
                for operand in &compare.ops {
                    self.comparable(left, &operand.expr);
                    self.operand(&operand.expr);
                    left = &operand.expr;
                }
            }
            Expr::IfExpr(choice) => {
                self.condition(&choice.test_expr);
                self.expression(&choice.true_expr);
                if let Some(otherwise) = &choice.false_expr {
                    self.expression(otherwise);
                }
            }
            Expr::Filter(filter) => {
                if !FILTERS.contains(&filter.name) {
                    self.report(filter.span(), &unknown("filter", filter.name, &FILTERS));
                }
                if let Some(input) = &filter.expr {
                    self.expression(input);
                }
                self.arguments(&filter.args, filter.span());
            }
            Expr::Test(test) => {
                if !TESTS.contains(&test.name) {
                    self.report(test.span(), &unknown("test", test.name, &TESTS));
                }
                self.expression(&test.expr);
                self.arguments(&test.args, test.span());
            }
            Expr::GetAttr(get) => match &get.expr {
                Expr::Var(var) if var.id == "loop" && self.scope.contains(&"loop") => {}
                other => {
                    self.expression(other);
                    self.refuse(get.span(), "an attribute");
                }
            },
            Expr::Call(call) => self.refuse(call.span(), "a function call"),
            Expr::Slice(other) => self.refuse(other.span(), "a slice"),
            Expr::GetItem(other) => self.refuse(other.span(), "an index"),
            Expr::List(other) => self.refuse(other.span(), "a list outside of in"),
            Expr::Tuple(other) => self.refuse(other.span(), "a tuple"),
            Expr::Map(other) => self.refuse(other.span(), "a map"),
        }
    }

    fn binary(&mut self, binary: &'a Spanned<BinOp<'a>>) {
        match binary.op {
            BinOpKind::ScAnd => self.condition(&binary.left),
            BinOpKind::ScOr => self.expression(&binary.left),
            BinOpKind::Concat | BinOpKind::Add => {
                self.report(
                    binary.span(),
                    "texts cannot be joined with ~ or +; write one {{ }} after the other",
                );
                self.expression(&binary.left);
            }
            BinOpKind::Sub
            | BinOpKind::Mul
            | BinOpKind::Div
            | BinOpKind::FloorDiv
            | BinOpKind::Rem
            | BinOpKind::Pow => {
                self.report(
                    binary.span(),
                    "templates cannot calculate; every variable is a text",
                );
                self.expression(&binary.left);
            }
            BinOpKind::Eq
            | BinOpKind::Ne
            | BinOpKind::Lt
            | BinOpKind::Lte
            | BinOpKind::Gt
            | BinOpKind::Gte
            | BinOpKind::In => {
                self.comparable(&binary.left, &binary.right);
                self.expression(&binary.left);
            }
        }
        self.operand(&binary.right);
    }

    /// Refuses to compare one of our variables with a number or `true`: every variable is a text, so that the answer
    /// would always be "no", and nobody would know why.
    fn comparable(&mut self, left: &'a Expr<'a>, right: &'a Expr<'a>) {
        let ((Expr::Var(var), Expr::Const(constant)) | (Expr::Const(constant), Expr::Var(var))) =
            (left, right)
        else {
            return;
        };
        if constant.value.as_str().is_none() && !self.scope.contains(&var.id) {
            let name = var.id;
            // The engine writes True, as Python does.
            let value = constant.value.to_string().to_lowercase();
            self.report(
                constant.span(),
                &format!(r#"variable "{name}" is a text; compare it with one: write "{value}""#),
            );
        }
    }

    /// The right side of a comparison: there, and only there, a list of constants may stand. Lists anywhere else could
    /// be nested through loops until comparing two of them takes forever, and no fuel is used meanwhile.
    fn operand(&mut self, expression: &'a Expr<'a>) {
        match expression {
            Expr::List(list) if list.items.iter().all(|item| matches!(item, Expr::Const(_))) => {}
            other => self.expression(other),
        }
    }

    fn arguments(&mut self, arguments: &'a [CallArg<'a>], span: Span) {
        for argument in arguments {
            match argument {
                CallArg::Pos(value) | CallArg::Kwarg(_, value) => self.expression(value),
                CallArg::PosSplat(_) | CallArg::KwargSplat(_) => self.refuse(span, "a splat"),
            }
        }
    }

    fn variable(&mut self, name: &str, span: Span) {
        if !self.scope.contains(&name) && !self.variables.contains(&name) {
            let known: Vec<&str> = self.scope.iter().chain(self.variables).copied().collect();
            self.report(span, &unknown("variable", name, &known));
        }
    }
}

/// Names what is not known, and the nearest name that is; where none is near, all of a short list.
fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .filter(|(likeness, _)| *likeness >= ALIKE);
    match nearest {
        Some((_, candidate)) => format!(r#"unknown {kind} "{name}"; did you mean "{candidate}"?"#),
        None if kind == "variable" => {
            format!(r#"unknown variable "{name}"; docs/templates.md lists them"#)
        }
        None => format!(r#"unknown {kind} "{name}"; there are {}"#, known.join(", ")),
    }
}
