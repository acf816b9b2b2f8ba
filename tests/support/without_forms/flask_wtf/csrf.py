"""See the package."""


class CSRFProtect:
    def init_app(self, app: object) -> None:
        pass
