"""`{% url %}` of every template (a builtin, see settings): Django's own, with addresses that are made once."""

from typing import Any

from django import template
from django.template.base import Parser, Token
from django.template.context import Context
from django.template.defaulttags import URLNode
from django.template.defaulttags import url as parsed
from django.utils.html import conditional_escape

from components import addresses

register = template.Library()


@register.tag
def url(parser: Parser, token: Token) -> URLNode:
    """`{% url "model" model.name %}`; with keywords or `as`, it is Django's."""
    node = parsed(parser, token)
    is_plain = not node.kwargs and not node.asvar
    return Address(node.view_name, node.args, {}, None) if is_plain else node


class Address(URLNode):
    def render(self, context: Context) -> Any:
        args = [each.resolve(context) for each in self.args]
        if not all(isinstance(each, str | int) for each in args):
            return super().render(context)
        found = addresses.reverse(self.view_name.resolve(context), *args)
        return conditional_escape(found) if context.autoescape else found
